-- Pairs, several at a time: the next one is published before it signs, the former ones until their tokens have ended.
-- public_key: the members of the JWK that make the key. Rows without `secret` are of an earlier version, and removed at the next start.
-- The pair, sealed with secrets/auth-keys.key (base/seal.h).
alter table signing_keys add column secret text;
-- Signs from then on, until the next one does.
alter table signing_keys add column active_from bigint not null default 0;
