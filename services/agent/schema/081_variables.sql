-- Values for the variables in the agent's instructions, a JSON object; the name that {{user.name}} stands for. agent_version: the one that its executions use
-- instead of the newest.
alter table conversations add column variables text;
alter table conversations add column user_name varchar(200);
alter table conversations add column agent_version integer;
