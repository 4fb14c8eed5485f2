-- Not 0: it stays, with its runs, whatever the rules of retention say.
alter table conversations add column is_kept integer not null default 0;
-- Set: not the workspace goes, but what is kept of the commands that began in it before then.
alter table workspace_removals add column commands_before bigint;

-- One row, id 1: the process that looks for what is to go, until lease_until (db_clock_us).
create table retention_leader (
  id integer not null primary key,
  owner varchar(190) not null,
  lease_until bigint not null
);
insert into retention_leader (id, owner, lease_until) values (1, '', 0);
