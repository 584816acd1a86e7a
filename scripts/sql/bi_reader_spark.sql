-- The same for a Spark catalogue with rights in SQL, such as Unity Catalog: bi_reader, a group of
-- the workspace, reads schema marts of catalogue parley and nothing else. Run once by the owner of
-- the catalogue. Spark by itself has no rights in SQL: there, rights of the storage decide, so give
-- readers the directory of marts alone.

grant use catalog on catalog parley to `bi_reader`;
grant use schema on schema parley.marts to `bi_reader`;
grant select on schema parley.marts to `bi_reader`;
