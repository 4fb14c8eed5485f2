-- What is done with all that is a person's (account/jobs.h): taken under a claim, and taken up again after a crash.
create table account_jobs (
  id varchar(36) not null primary key,
  -- 'erase' or 'export'
  kind varchar(8) not null,
  user_id varchar(64) not null,
  -- erase: who has got what is shared
  heir_id varchar(64),
  -- 'queued', 'running', 'succeeded' or 'failed'
  status varchar(16) not null,
  -- what it is at
  stage varchar(32) not null,
  -- how many of what: an object of JSON
  counts text not null,
  owner varchar(190),
  claim bigint not null,
  attempts integer not null,
  run_after bigint not null,
  size bigint not null,
  error_code varchar(64),
  error_message text,
  created_at bigint not null,
  started_at bigint,
  ended_at bigint,
  expires_at bigint
);
create index account_jobs_user on account_jobs (user_id, id);
create index account_jobs_kind on account_jobs (kind, id);
create index account_jobs_open on account_jobs (run_after) where status in ('queued', 'running');
