-- Workspaces of conversations that were deleted, until exec has removed them.
create table workspace_removals (
  workspace varchar(64) not null primary key,
  user_id varchar(64) not null,
  created_at bigint not null
);
create index conversations_updated on conversations (updated_at);
