-- Sets of cases with which agents are tried. graders: a JSON array (evaluations/graders.h). pass_score: in millionths. next_number: of a case to come.
create table evaluation_sets (
  id varchar(36) not null primary key,
  user_id varchar(64) not null,
  name varchar(200) not null,
  description text not null,
  graders text not null,
  pass_score integer not null,
  next_number integer not null,
  created_at bigint not null,
  updated_at bigint not null
);
create index evaluation_sets_user on evaluation_sets (user_id, id);

-- expected: a JSON value, null = nothing. variables: a JSON object of texts, of the agent's instructions. tags: a JSON array of texts.
create table evaluation_cases (
  set_id varchar(36) not null,
  number integer not null,
  id varchar(36) not null,
  input text not null,
  expected text,
  variables text,
  tags text not null,
  updated_at bigint not null,
  primary key (set_id, number)
);
create index evaluation_cases_id on evaluation_cases (set_id, id);

-- A run of a set is a batch. agent_version: of its runs, null = the newest one. graders: {pass_score, graders} as they were when it began.
alter table batches add column evaluation_id varchar(36);
alter table batches add column agent_version integer;
alter table batches add column repeats integer not null default 1;
alter table batches add column graders text;
create index batches_evaluation on batches (evaluation_id, id);

-- part: 0 = the agent's run; n = what the n-th grader that is a model says of it, with the number n * n_rows + that of the agent's row. passed null: not graded.
-- score: in millionths. grades: a JSON array. tokens, cost_nano, latency_ms: of the run, kept when it is gone.
alter table batch_rows add column part integer not null default 0;
alter table batch_rows add column passed integer;
alter table batch_rows add column score integer;
alter table batch_rows add column grades text;
alter table batch_rows add column tokens bigint;
alter table batch_rows add column cost_nano bigint;
alter table batch_rows add column latency_ms bigint;
