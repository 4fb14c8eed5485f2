-- For SQLite, MySQL and MariaDB. Times are microseconds since 1970 UTC. Text is compared byte by byte, also on MySQL, where
-- the driver sets the database's collation before this runs; what counts as equal was decided when it was made canonical.

create table users (
	id varchar(36) not null,
	-- 'user', or 'local': the seeded owner of this installation until the set-up makes it the first administrator
	kind varchar(16) not null,
	name varchar(200) not null,
	-- as given, and in canonical form for finding it
	email varchar(254),
	email_key varchar(254),
	-- PHC string; null: no sign-in by password
	password_hash varchar(255),
	password_changed_at bigint,
	last_login_at bigint,
	disabled smallint not null,
	-- rises whenever the user's rights change
	permission_epoch bigint not null,
	created_at bigint not null,
	updated_at bigint not null,
	primary key (id)
);
create unique index users_by_email on users (email_key);

create table roles (
	id varchar(36) not null,
	name varchar(64) not null,
	description varchar(400) not null,
	built_in smallint not null,
	created_at bigint not null,
	primary key (id)
);
create unique index roles_by_name on roles (name);

create table permissions (
	name varchar(100) not null,
	description varchar(400) not null,
	primary key (name)
);

-- permission: a name or a pattern such as agents.* or *
create table role_permissions (
	role_id varchar(36) not null,
	permission varchar(100) not null,
	primary key (role_id, permission),
	foreign key (role_id) references roles (id)
);

create table user_roles (
	user_id varchar(36) not null,
	role_id varchar(36) not null,
	created_at bigint not null,
	primary key (user_id, role_id),
	foreign key (user_id) references users (id),
	foreign key (role_id) references roles (id)
);
create index user_roles_by_role on user_roles (role_id);

create table settings (
	name varchar(64) not null,
	value varchar(1000) not null,
	updated_at bigint not null,
	primary key (name)
);

-- One row, id 1. token_hash: SHA-256 of the set-up token, null when there is none.
create table setup (
	id integer not null,
	owner_id varchar(36) not null,
	token_hash varchar(64),
	expires_at bigint not null,
	done_at bigint,
	primary key (id),
	foreign key (owner_id) references users (id)
);
