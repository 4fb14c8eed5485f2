-- What a user is granted or denied besides his roles. A denial wins over every grant.
create table user_permissions (
	user_id varchar(36) not null,
	-- a name or a pattern such as agents.*
	permission varchar(100) not null,
	-- 'allow' or 'deny'
	effect varchar(8) not null,
	created_at bigint not null,
	primary key (user_id, permission),
	foreign key (user_id) references users (id)
);
