-- Most executions have ended and were called by no other: they take no room in the indexes of those that work and of those that were called.
drop index executions_owner;
create index executions_owner on executions (owner, lease_until) where owner is not null;
drop index executions_parent_call;
create unique index executions_parent_call on executions (parent_call) where parent_call is not null;
drop index executions_parent;
create index executions_parent on executions (parent_id) where parent_id is not null;
drop index executions_root;
create index executions_root on executions (root_id) where root_id is not null;
