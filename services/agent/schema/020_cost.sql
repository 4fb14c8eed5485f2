-- What a run has cost, in 1e-9 US dollars by the list of prices (0 where it has none), and the tokens of its input that came from the provider's cache.
alter table executions add column cached_tokens bigint not null default 0;
alter table executions add column cost_nano bigint not null default 0;
