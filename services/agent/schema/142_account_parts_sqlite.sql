-- The file of an export, in parts of ACCOUNT_PART_BYTES.
create table account_job_parts (
  job_id varchar(36) not null,
  part integer not null,
  data blob not null,
  primary key (job_id, part)
) without rowid;
