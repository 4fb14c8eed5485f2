-- Tokens and money by day (since 1970, UTC). shard: so that processes that store at the same time do not wait for each other.
create table usage_days (
  day integer not null,
  user_id varchar(64) not null,
  agent_id varchar(36) not null,
  provider varchar(32) not null,
  model varchar(200) not null,
  shard integer not null,
  calls bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cached_tokens bigint not null,
  cost_nano bigint not null,
  estimated integer not null,
  primary key (day, user_id, agent_id, provider, model, shard)
);
create index usage_days_agent on usage_days (day, agent_id);

-- What a user may spend in a day, where it differs from the options; null = without limit.
create table user_budgets (
  user_id varchar(64) not null primary key,
  day_tokens bigint,
  day_cost_nano bigint,
  updated_at bigint not null
);

-- What it had spent when a person let it go on: its own budget counts from there.
alter table executions add column budget_from_tokens bigint not null default 0;
alter table executions add column budget_from_nano bigint not null default 0;
