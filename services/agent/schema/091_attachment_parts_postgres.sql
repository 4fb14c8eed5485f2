create table attachment_parts (
  hash varchar(64) not null,
  part integer not null,
  data bytea not null,
  primary key (hash, part)
);
