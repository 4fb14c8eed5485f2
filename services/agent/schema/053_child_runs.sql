-- A run that an agent's call began: the run and the call that it is for, and the first run of them all. What they spend is part of what that may spend. token_limit: what the caller had left.
alter table executions add column parent_id varchar(36);
alter table executions add column root_id varchar(36);
alter table executions add column parent_call varchar(250);
alter table executions add column depth integer not null default 0;
alter table executions add column token_limit bigint not null default 0;
create unique index executions_parent_call on executions (parent_call);
create index executions_parent on executions (parent_id);
create index executions_root on executions (root_id);
