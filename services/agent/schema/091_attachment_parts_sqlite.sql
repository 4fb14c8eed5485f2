create table attachment_parts (
  hash varchar(64) not null,
  part integer not null,
  data blob not null,
  primary key (hash, part)
) without rowid;
