-- Providers of models that were connected. owner_id '': for everybody. key_sealed: the key, sealed (seal.h); key_end: its last four characters.
-- settings: {default_model, models, max_concurrent, requests_per_minute, context, reasoning_echo}. found_models: names as the last test found them.
create table model_providers (
  id varchar(36) not null primary key,
  owner_id varchar(64) not null,
  slug varchar(64) not null,
  name varchar(200) not null,
  kind varchar(32) not null,
  base_url varchar(600) not null,
  key_sealed text,
  key_end varchar(16),
  settings text not null,
  found_models text,
  is_default integer not null,
  is_enabled integer not null,
  version integer not null,
  created_at bigint not null,
  updated_at bigint not null,
  unique (owner_id, slug)
);
