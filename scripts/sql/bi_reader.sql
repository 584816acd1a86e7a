-- Who may do what in the PostgreSQL database parley publishes to. Run once by an administrator,
-- connected to that database, which should be parley's own; may be run again.
--
--   parley_publisher   makes and owns the schema marts; `make publish-postgres` logs in as it
--   bi_reader          reads marts and nothing else; every dashboard's role is made a member of it
--
-- Passwords are set apart from this file, so that they stand in no script: \password in psql.
-- For each tool: create role metabase login in role bi_reader;

do $$
begin
    if not exists (select from pg_roles where rolname = 'parley_publisher') then
        create role parley_publisher login;
    end if;
    if not exists (select from pg_roles where rolname = 'bi_reader') then
        create role bi_reader nologin;
    end if;
    -- Nobody is let in just because the database exists.
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect, create on database %I to parley_publisher', current_database());
    execute format('grant connect on database %I to bi_reader', current_database());
end
$$;

revoke all on schema public from public;

-- The grants on marts itself are given by each publish, in the transaction that switches to it:
--   grant usage on schema marts to bi_reader;
--   grant select on all tables in schema marts to bi_reader;
