alter table signing_keys modify column public_key text not null;
alter table signing_keys add column secret text;
alter table signing_keys add column active_from bigint not null default 0;
