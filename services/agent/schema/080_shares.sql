-- Whom an agent is shared with (agent_shares.h). Those of before there was sharing were everyone's.
alter table agents add column shares text not null default '[]';
update agents set shares = '[{"role":"*","rights":["use"]}]';
