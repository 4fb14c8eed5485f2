-- Passages that an answer cites, a JSON array; null: none.
alter table messages add column citations text;
