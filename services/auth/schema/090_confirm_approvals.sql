-- Whether the user confirms approvals of risky calls with a second factor, by his own choice.
alter table users add column confirm_approvals smallint not null default 0;
