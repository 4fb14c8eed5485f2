-- Files that were sent with messages. One belongs to its conversation and goes with it; its bytes are stored once, by their hash (SHA-256), and counted by those
-- who have them.
create table attachments (
  conversation_id varchar(36) not null,
  id varchar(36) not null,
  hash varchar(64) not null,
  name varchar(300) not null,
  media_type varchar(100) not null,
  is_image integer not null,
  size bigint not null,
  width integer not null,
  height integer not null,
  created_at bigint not null,
  primary key (conversation_id, id)
);

-- Which files a message has, also one that still waits in queued_messages.
create table message_attachments (
  conversation_id varchar(36) not null,
  message_id varchar(36) not null,
  position integer not null,
  attachment_id varchar(36) not null,
  primary key (conversation_id, message_id, position)
);

-- refs: how many rows of attachments have it.
create table attachment_blobs (
  hash varchar(64) not null primary key,
  size bigint not null,
  refs bigint not null
);

-- How many the conversation has: of most none, and nobody need look for them.
alter table conversations add column attachments integer not null default 0;
