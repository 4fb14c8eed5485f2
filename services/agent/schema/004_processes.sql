-- The processes that work on executions (executions.owner), each with one lease for all of its own: when it runs out, the others take them.
-- Times are those of db_clock_us.
create table agent_processes (
  owner varchar(190) not null primary key,
  lease_until bigint not null
);

-- Wishes to stop that the owner has not seen yet.
create index executions_cancelled on executions (owner) where cancel_at is not null and owner is not null;
