SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA control;
CREATE SCHEMA marts;
CREATE SCHEMA partitions;
CREATE SCHEMA raw;
CREATE DOMAIN marts.frequency AS numeric;
CREATE DOMAIN marts.unique_count AS bigint;
CREATE FUNCTION control.chosen_timezone() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
declare
    chosen text := nullif(current_setting('meta_ads.display_timezone', true), '');
begin
    -- Not by is_timezone: readers of the marts may have no right to the schema control.
    if chosen <> 'account'
        and not exists (select from pg_catalog.pg_timezone_names where name = chosen) then
        raise exception 'meta_ads.display_timezone: "%" is not an IANA timezone', chosen
            using errcode = 'invalid_parameter_value',
            hint = 'Set a name as in pg_timezone_names, for instance Europe/Berlin; "account" for'
                ' each account''s own; or reset meta_ads.display_timezone.';
    end if;
    return chosen;
end $$;
CREATE FUNCTION control.current_instant() RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select coalesce(nullif(current_setting('meta_ads.now', true), '')::timestamptz, now())
$$;
CREATE FUNCTION control.json_list(value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN (jsonb_typeof(value) = 'array'::text) THEN value ELSE NULL::jsonb END;
CREATE FUNCTION control."json_object"(value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN (jsonb_typeof(value) = 'object'::text) THEN value ELSE NULL::jsonb END;
CREATE FUNCTION control.json_text(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN (jsonb_typeof(value) = ANY (ARRAY['string'::text, 'number'::text, 'boolean'::text])) THEN (value #>> '{}'::text[]) ELSE NULL::text END;
CREATE FUNCTION control.to_flag(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE lower(btrim(value)) WHEN '1'::text THEN true WHEN 'true'::text THEN true WHEN '0'::text THEN false WHEN 'false'::text THEN false ELSE NULL::boolean END;
CREATE FUNCTION control.to_instant(value text) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $_$
begin
    if value ~ '^[0-9]{1,11}(\.[0-9]{1,9})?$' then
        return to_timestamp(value::numeric::double precision);
    end if;
    if value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?'
        '(Z|[+-][0-9]{2}(:?[0-9]{2})?)$'
    then
        return value::timestamptz;
    end if;
    return null;
exception when data_exception then
    return null;
end $_$;
CREATE FUNCTION control.to_number(value text) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN (value ~ '^\s*[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?\s*$'::text) THEN (value)::numeric ELSE NULL::numeric END;
CREATE FUNCTION control.to_smallint(value text) RETURNS smallint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN ((control.to_number(value) = trunc(control.to_number(value))) AND ((control.to_number(value) >= ('-32768'::integer)::numeric) AND (control.to_number(value) <= (32767)::numeric))) THEN (control.to_number(value))::smallint ELSE NULL::smallint END;
CREATE FUNCTION control.document_value(value jsonb, kind text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL RESTRICTED
    RETURN CASE kind WHEN 'text'::text THEN control.json_text(value) WHEN 'number'::text THEN (control.to_number(control.json_text(value)))::text WHEN 'smallint'::text THEN (control.to_smallint(control.json_text(value)))::text WHEN 'flag'::text THEN (control.to_flag(control.json_text(value)))::text WHEN 'instant'::text THEN (EXTRACT(epoch FROM control.to_instant(control.json_text(value))))::text WHEN 'list'::text THEN (control.json_list(value))::text WHEN 'object'::text THEN (control."json_object"(value))::text ELSE NULL::text END;
CREATE FUNCTION control.ensure_month_partitions(parent regclass, first_date date, last_date date) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    month date := date_trunc('month', first_date);
    child text;
begin
    while month <= last_date loop
        child := format('%s_%s',
            replace(replace(parent::text, '"', ''), '.', '_'), to_char(month, 'YYYYMM'));
        if not exists (select from pg_class
                where relname = child and relnamespace = 'partitions'::regnamespace) then
            -- Two loaders may want the same new month: the lock makes one wait, then see it.
            perform pg_advisory_xact_lock(hashtext('month-partition'), hashtext(child));
            if not exists (select from pg_class
                    where relname = child and relnamespace = 'partitions'::regnamespace) then
                -- Attaching, unlike "create table ... partition of", lets readers and writers of
                -- the parent go on.
                execute format(
                    'create table partitions.%I (like %s including all)', child, parent);
                execute format(
                    'alter table %s attach partition partitions.%I'
                    ' for values from (%L) to (%L)',
                    parent, child, month, (month + interval '1 month')::date);
            end if;
        end if;
        month := (month + interval '1 month')::date;
    end loop;
end $$;
CREATE FUNCTION control.is_timezone(name text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $_$
    -- Not "at time zone": Postgres reads UTC+2 as two hours west and IST as Israel's time.
    select exists (select from pg_catalog.pg_timezone_names as zones where zones.name = $1)
$_$;
CREATE FUNCTION control.is_unusable(value jsonb, kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL RESTRICTED
    RETURN ((value IS NOT NULL) AND (jsonb_typeof(value) <> 'null'::text) AND (NOT ((kind = ANY (ARRAY['list'::text, 'object'::text])) AND (value = ANY (ARRAY['[]'::jsonb, '{}'::jsonb])))) AND (control.document_value(value, kind) IS NULL));
CREATE FUNCTION control.share_call_slots(app_name text, own integer, accounts text[], used integer[], needs integer[], limits integer[]) RETURNS TABLE(account text, slots integer, is_contended boolean)
    LANGUAGE plpgsql
    AS $$
declare
    class constant integer := hashtext('call slots of a process');
    me integer := null;
    place integer;
    others integer;
    held integer;
    taken_up integer;
    fair integer;
begin
    -- One process at a time decides: what is granted never adds up to more than the limit.
    perform pg_advisory_xact_lock(hashtext('call slots of an app'), hashtext(app_name));
    if exists (select from control.call_slots as s
            where s.holder = own and s.backend = pg_backend_pid())
        or pg_try_advisory_lock(class, own) then
        me := pg_backend_pid();
    end if;
    delete from control.call_slots as s
    where s.app = app_name and s.holder <> own
        and (s.seen_at < clock_timestamp() - interval '15 minutes'
            or not exists (select from pg_locks as l
                where l.locktype = 'advisory' and l.granted and l.objsubid = 2
                    and l.database
                        = (select oid from pg_database where datname = current_database())
                    and l.classid::bigint = class & 4294967295
                    and l.objid::bigint = s.holder & 4294967295));
    for place in 1 .. cardinality(accounts) loop
        select count(*) filter (where s.wanted > 0), coalesce(sum(s.granted), 0)
        into others, held
        from control.call_slots as s
        where s.app = app_name and s.account_id = accounts[place] and s.holder <> own;
        fair := greatest(1, limits[place] / (others + 1));
        select coalesce(sum(least(s.wanted, fair)), 0) into taken_up
        from control.call_slots as s
        where s.app = app_name and s.account_id = accounts[place] and s.holder <> own;
        account := accounts[place];
        is_contended := others > 0;
        -- Calls that are under way are not taken back; more only from what nobody else holds.
        slots := greatest(used[place], least(needs[place],
            greatest(limits[place] - taken_up, fair), limits[place] - held));
        insert into control.call_slots as s
            (app, account_id, holder, backend, granted, wanted, seen_at)
        values (app_name, account, own, me, slots, needs[place], clock_timestamp())
        on conflict (app, account_id, holder) do update set
            backend = excluded.backend, granted = excluded.granted, wanted = excluded.wanted,
            seen_at = excluded.seen_at;
        return next;
    end loop;
end $$;
CREATE FUNCTION marts.refuse_sum_of_frequency(numeric, marts.frequency) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
    raise exception 'frequency cannot be summed: it is impressions per person reached'
        using hint = 'marts.reach has a row for each level and period: read the one you mean.';
end
$$;
CREATE FUNCTION marts.refuse_sum_of_people(bigint, marts.unique_count) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
    raise exception 'reach and unique counts cannot be summed: the same people are in several rows'
        using hint = 'marts.reach has a row for each level and period: read the one you mean.';
end
$$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE control.ad_accounts (
    account_id text NOT NULL,
    workspace_id uuid NOT NULL,
    connection_id uuid,
    name text,
    currency text NOT NULL,
    timezone text NOT NULL,
    account_status smallint,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE control.check_results (
    account_id text NOT NULL,
    event_date date,
    asset text NOT NULL,
    check_name text NOT NULL,
    status text NOT NULL,
    severity text NOT NULL,
    violations bigint DEFAULT 0 NOT NULL,
    observed text,
    expected text,
    message text,
    run_id text NOT NULL,
    first_failed_at timestamp with time zone,
    last_failed_at timestamp with time zone,
    last_checked_at timestamp with time zone NOT NULL,
    times_failed integer DEFAULT 0 NOT NULL,
    CONSTRAINT check_results_severity_check CHECK ((severity = ANY (ARRAY['block'::text, 'warn'::text, 'inform'::text]))),
    CONSTRAINT check_results_status_check CHECK ((status = ANY (ARRAY['passed'::text, 'warned'::text, 'failed'::text])))
)
WITH (fillfactor='80');
CREATE TABLE control.slices (
    account_id text NOT NULL,
    partition_date date NOT NULL,
    asset text NOT NULL,
    status text NOT NULL,
    sync_id text,
    run_id text,
    attempts integer DEFAULT 0 NOT NULL,
    rows_fetched integer,
    rows_inserted integer,
    rows_updated integer,
    rows_deleted integer,
    rows_unchanged integer,
    rows_dead_lettered integer,
    api_calls integer,
    pulled_at timestamp with time zone,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    error_kind text,
    error_message text,
    next_attempt_at timestamp with time zone,
    attribution_windows text[],
    CONSTRAINT slices_status_check CHECK ((status = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text, 'parked'::text, 'mismatched'::text, 'not_kept'::text])))
);
CREATE TABLE raw.account_totals (
    event_date date NOT NULL,
    account_id text NOT NULL,
    timezone text NOT NULL,
    currency text NOT NULL,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    reach bigint,
    frequency numeric,
    actions jsonb,
    action_values jsonb,
    api_version text NOT NULL,
    pulled_at timestamp with time zone NOT NULL,
    conversions jsonb,
    conversion_values jsonb
);
CREATE VIEW control.account_days AS
 WITH pulls AS (
         SELECT s.account_id,
            s.partition_date AS event_date,
            count(s.pulled_at) AS pulls,
            bool_or((s.status = 'not_kept'::text)) AS is_not_kept,
            COALESCE(bool_or((s.pulled_at IS NOT NULL)) FILTER (WHERE (s.asset = 'insights_hourly'::text)), false) AS has_hours,
            COALESCE(bool_or((s.pulled_at IS NOT NULL)) FILTER (WHERE (s.asset = 'insights_daily'::text)), false) AS has_days,
            COALESCE(bool_or((s.pulled_at IS NOT NULL)) FILTER (WHERE (s.asset = 'account_totals'::text)), false) AS has_totals,
                CASE
                    WHEN (count(s.pulled_at) = 3) THEN min(s.pulled_at)
                    ELSE NULL::timestamp with time zone
                END AS pulled_at,
            max(s.pulled_at) AS last_pulled_at,
            max(s.pulled_at) FILTER (WHERE (s.asset = 'insights_hourly'::text)) AS hours_pulled_at
           FROM control.slices s
          WHERE (s.asset = ANY (ARRAY['insights_hourly'::text, 'insights_daily'::text, 'account_totals'::text]))
          GROUP BY s.account_id, s.partition_date
        ), history AS (
         SELECT a.account_id,
            a.timezone,
            a.is_active,
            ((control.current_instant() AT TIME ZONE a.timezone))::date AS today,
            p.first_date,
            p.last_date
           FROM (control.ad_accounts a
             JOIN ( SELECT pulls.account_id,
                    min(pulls.event_date) AS first_date,
                    max(pulls.event_date) AS last_date
                   FROM pulls
                  GROUP BY pulls.account_id) p ON ((p.account_id = a.account_id)))
        ), days AS (
         SELECT h.account_id,
            h.is_active,
            h.today,
            d.event_date,
            (p.account_id IS NOT NULL) AS is_asked,
            COALESCE(p.is_not_kept, false) AS is_not_kept,
            p.has_hours,
            p.has_days,
            p.has_totals,
            COALESCE(p.pulls, (0)::bigint) AS pulls,
            p.pulled_at,
            p.last_pulled_at,
            p.hours_pulled_at,
            COALESCE(t.timezone, h.timezone) AS timezone,
            ((d.event_date)::timestamp without time zone AT TIME ZONE COALESCE(t.timezone, h.timezone)) AS starts_at,
            (((d.event_date + 1))::timestamp without time zone AT TIME ZONE COALESCE(t.timezone, h.timezone)) AS ends_at
           FROM (((history h
             CROSS JOIN LATERAL ( SELECT (h.first_date + n.n) AS event_date
                   FROM generate_series(0, (GREATEST(h.today, h.last_date) - h.first_date)) n(n)) d)
             LEFT JOIN pulls p ON (((p.account_id = h.account_id) AND (p.event_date = d.event_date))))
             LEFT JOIN raw.account_totals t ON (((t.account_id = h.account_id) AND (t.event_date = d.event_date))))
        ), judged AS (
         SELECT days.account_id,
            days.is_active,
            days.today,
            days.event_date,
            days.is_asked,
            days.is_not_kept,
            days.has_hours,
            days.has_days,
            days.has_totals,
            days.pulls,
            days.pulled_at,
            days.last_pulled_at,
            days.hours_pulled_at,
            days.timezone,
            days.starts_at,
            days.ends_at,
            (days.ends_at <= control.current_instant()) AS is_over,
            COALESCE((days.pulled_at >= days.ends_at), false) AS is_complete,
            COALESCE(((((days.pulled_at AT TIME ZONE days.timezone))::date - days.event_date) > 28), false) AS is_settled
           FROM days
        )
 SELECT j.account_id,
    j.event_date,
    j.timezone,
    j.is_active,
    j.starts_at,
    j.ends_at,
    j.is_asked,
    COALESCE(j.has_hours, false) AS has_hours,
    COALESCE(j.has_days, false) AS has_days,
    COALESCE(j.has_totals, false) AS has_totals,
    j.pulled_at,
    j.last_pulled_at,
        CASE
            WHEN (j.hours_pulled_at > j.starts_at) THEN LEAST(j.hours_pulled_at, j.ends_at)
            ELSE NULL::timestamp with time zone
        END AS hours_until,
    j.is_over,
    j.is_complete,
    j.is_settled,
    (held.reason IS NOT NULL) AS is_held,
    held.reason AS held_because,
    ((j.today - j.event_date) > 28) AS can_settle,
    (((j.ends_at + '06:00:00'::interval) <= control.current_instant()) AND (NOT j.is_not_kept) AND ((NOT j.is_complete) OR ((NOT j.is_settled) AND ((j.today - j.event_date) > 28)))) AS is_due,
        CASE
            WHEN j.is_not_kept THEN 'not_kept'::text
            WHEN (j.pulls < 3) THEN
            CASE
                WHEN j.is_over THEN 'missing'::text
                ELSE 'open'::text
            END
            WHEN (held.reason IS NOT NULL) THEN 'held'::text
            WHEN (NOT j.is_complete) THEN
            CASE
                WHEN j.is_over THEN 'incomplete'::text
                ELSE 'open'::text
            END
            WHEN j.is_settled THEN 'settled'::text
            WHEN ((j.today - j.event_date) > 28) THEN 'unsettled'::text
            ELSE 'complete'::text
        END AS state
   FROM (judged j
     LEFT JOIN ( SELECT check_results.account_id,
            check_results.event_date,
            string_agg(((((check_results.asset || ' '::text) || check_results.check_name) || ': '::text) || COALESCE(check_results.message, ''::text)), '; '::text ORDER BY check_results.asset, check_results.check_name) AS reason
           FROM control.check_results
          WHERE ((check_results.status = 'failed'::text) AND (check_results.severity = 'block'::text) AND (check_results.event_date IS NOT NULL))
          GROUP BY check_results.account_id, check_results.event_date) held ON (((held.account_id = j.account_id) AND (held.event_date = j.event_date))));
CREATE TABLE control.account_timezones (
    account_id text NOT NULL,
    timezone text NOT NULL,
    valid_from timestamp with time zone NOT NULL
);
CREATE TABLE control.alert_mutes (
    kind text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    muted_until timestamp with time zone NOT NULL
);
CREATE TABLE control.alert_notices (
    alert_id bigint NOT NULL,
    destination text NOT NULL,
    notice text NOT NULL,
    escalated_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    error text,
    CONSTRAINT alert_notices_notice_check CHECK ((notice = ANY (ARRAY['opened'::text, 'recovered'::text])))
);
CREATE TABLE control.alerts (
    alert_id bigint NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL,
    stage text DEFAULT ''::text NOT NULL,
    message text NOT NULL,
    what_to_do text NOT NULL,
    times_raised integer DEFAULT 1 NOT NULL,
    first_raised_at timestamp with time zone NOT NULL,
    last_raised_at timestamp with time zone NOT NULL,
    escalated_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    CONSTRAINT alerts_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text])))
);
ALTER TABLE control.alerts ALTER COLUMN alert_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME control.alerts_alert_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE control.api_keys (
    key_id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    member_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    key_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone
);
CREATE TABLE control.call_budgets (
    app text NOT NULL,
    account_id text DEFAULT ''::text NOT NULL,
    use_case text DEFAULT ''::text NOT NULL,
    percent double precision,
    span_seconds double precision,
    read_at timestamp with time zone,
    tier text,
    blocked_since timestamp with time zone,
    blocked_until timestamp with time zone,
    refused_at timestamp with time zone,
    block_code integer,
    times_blocked integer DEFAULT 0 NOT NULL,
    regain_seconds double precision,
    last_probe_at timestamp with time zone,
    probe_until timestamp with time zone,
    last_call_at timestamp with time zone,
    is_warned boolean DEFAULT false NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE control.call_counts (
    connection text NOT NULL,
    minute timestamp with time zone NOT NULL,
    account_id text DEFAULT ''::text NOT NULL,
    use_case text NOT NULL,
    calls integer NOT NULL,
    wasted integer NOT NULL
);
CREATE TABLE control.call_slots (
    app text NOT NULL,
    account_id text DEFAULT ''::text NOT NULL,
    holder integer NOT NULL,
    backend integer,
    granted integer NOT NULL,
    wanted integer NOT NULL,
    seen_at timestamp with time zone NOT NULL
);
CREATE TABLE control.connections (
    connection_id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    app_id text,
    token_ciphertext bytea,
    token_type text,
    scopes text[] DEFAULT '{}'::text[] NOT NULL,
    issued_at timestamp with time zone,
    expires_at timestamp with time zone,
    data_access_expires_at timestamp with time zone,
    last_validated_at timestamp with time zone,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    user_id text,
    token_fingerprint text,
    reads_all_accounts boolean DEFAULT true NOT NULL,
    refreshed_at timestamp with time zone,
    refresh_attempted_at timestamp with time zone,
    CONSTRAINT connections_status_check CHECK ((status = ANY (ARRAY['active'::text, 'expiring'::text, 'expired'::text, 'revoked'::text, 'missing_scope'::text])))
);
CREATE TABLE control.dead_letters (
    dead_letter_id bigint NOT NULL,
    fingerprint text NOT NULL,
    account_id text NOT NULL,
    asset text NOT NULL,
    partition_date date,
    object_id text,
    field text,
    reason text NOT NULL,
    document jsonb NOT NULL,
    source_call text,
    status text DEFAULT 'open'::text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    resolved_at timestamp with time zone,
    resolution text,
    timezone text,
    currency text,
    CONSTRAINT dead_letters_status_check CHECK ((status = ANY (ARRAY['open'::text, 'replayed'::text, 'discarded'::text, 'resolved'::text])))
);
ALTER TABLE control.dead_letters ALTER COLUMN dead_letter_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME control.dead_letters_dead_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE control.members (
    member_id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT members_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text, 'admin'::text])))
);
CREATE TABLE control.report_runs (
    job_key text NOT NULL,
    run_id text NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE control.schema_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE control.slice_loads (
    load_id bigint NOT NULL,
    account_id text NOT NULL,
    partition_date date NOT NULL,
    asset text NOT NULL,
    sync_id text,
    run_id text,
    rows_fetched integer NOT NULL,
    rows_inserted integer NOT NULL,
    rows_updated integer NOT NULL,
    rows_deleted integer NOT NULL,
    rows_unchanged integer NOT NULL,
    rows_dead_lettered integer NOT NULL,
    pulled_at timestamp with time zone NOT NULL,
    loaded_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE control.slice_loads ALTER COLUMN load_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME control.slice_loads_load_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE control.slice_locks (
    holder integer NOT NULL,
    account_id text NOT NULL,
    asset text NOT NULL,
    dates date[] NOT NULL,
    taken_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE control.syncs (
    sync_id uuid DEFAULT gen_random_uuid() NOT NULL,
    scope text NOT NULL,
    start_date date NOT NULL,
    end_date date NOT NULL,
    status text DEFAULT 'running'::text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT syncs_status_check CHECK ((status = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text])))
);
CREATE TABLE control.unreadable_accounts (
    account_id text NOT NULL,
    since timestamp with time zone NOT NULL,
    reason text NOT NULL,
    tries integer DEFAULT 1 NOT NULL,
    next_try_at timestamp with time zone,
    is_stopped boolean DEFAULT false NOT NULL
);
CREATE TABLE control.webhook_events (
    webhook_event_id bigint NOT NULL,
    fingerprint text NOT NULL,
    topic text NOT NULL,
    account_id text,
    field text,
    object_level text,
    object_id text,
    value jsonb NOT NULL,
    sent_at timestamp with time zone,
    first_received_at timestamp with time zone DEFAULT now() NOT NULL,
    last_received_at timestamp with time zone DEFAULT now() NOT NULL,
    deliveries integer DEFAULT 1 NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT webhook_events_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'done'::text, 'kept'::text, 'failed'::text])))
);
ALTER TABLE control.webhook_events ALTER COLUMN webhook_event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME control.webhook_events_webhook_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE control.webhook_requests (
    minute timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    requests integer NOT NULL,
    changes integer NOT NULL,
    new_changes integer NOT NULL,
    bytes bigint NOT NULL
);
CREATE TABLE control.workspaces (
    workspace_id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    display_timezone text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspaces_display_timezone_is_iana CHECK (((display_timezone IS NULL) OR control.is_timezone(display_timezone)))
);
CREATE TABLE marts.metric_facts (
    natural_key text NOT NULL,
    workspace_id uuid NOT NULL,
    provider text NOT NULL,
    account_id text NOT NULL,
    level text NOT NULL,
    external_entity_id text NOT NULL,
    entity_id uuid NOT NULL,
    campaign_id text,
    adset_id text,
    ad_id text,
    grain text NOT NULL,
    event_at timestamp with time zone NOT NULL,
    event_date date NOT NULL,
    event_hour smallint,
    timezone text NOT NULL,
    currency text NOT NULL,
    goal text,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    purchases numeric,
    revenue numeric,
    leads numeric,
    conversions numeric,
    is_settled boolean NOT NULL,
    source text NOT NULL,
    pulled_at timestamp with time zone NOT NULL,
    CONSTRAINT metric_facts_grain_check CHECK ((grain = ANY (ARRAY['minute'::text, 'hour'::text, 'day'::text]))),
    CONSTRAINT metric_facts_source_check CHECK ((source = ANY (ARRAY['insights'::text, 'ingest'::text])))
)
PARTITION BY RANGE (event_date);
CREATE TABLE raw.ad_accounts (
    account_id text NOT NULL,
    name text,
    currency text NOT NULL,
    timezone text NOT NULL,
    document jsonb NOT NULL,
    document_hash text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    pulled_at timestamp with time zone NOT NULL
);
CREATE TABLE raw.ads (
    id text NOT NULL,
    account_id text NOT NULL,
    name text,
    status text,
    effective_status text,
    campaign_id text,
    adset_id text,
    creative_id text,
    document jsonb NOT NULL,
    document_hash text NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    missing_since timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    pulled_at timestamp with time zone NOT NULL
);
CREATE TABLE raw.adsets (
    id text NOT NULL,
    account_id text NOT NULL,
    name text,
    status text,
    effective_status text,
    campaign_id text,
    document jsonb NOT NULL,
    document_hash text NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    missing_since timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    pulled_at timestamp with time zone NOT NULL
);
CREATE TABLE raw.campaigns (
    id text NOT NULL,
    account_id text NOT NULL,
    name text,
    status text,
    effective_status text,
    objective text,
    document jsonb NOT NULL,
    document_hash text NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    missing_since timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    pulled_at timestamp with time zone NOT NULL
);
CREATE TABLE raw.creatives (
    id text NOT NULL,
    account_id text NOT NULL,
    name text,
    status text,
    effective_status text,
    object_type text,
    document jsonb NOT NULL,
    document_hash text NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    missing_since timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    pulled_at timestamp with time zone NOT NULL
);
CREATE TABLE raw.custom_conversions (
    id text NOT NULL,
    account_id text NOT NULL,
    name text,
    custom_event_type text,
    rule text,
    pixel_id text,
    document jsonb NOT NULL,
    document_hash text NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    missing_since timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    pulled_at timestamp with time zone NOT NULL
);
CREATE TABLE raw.entity_versions (
    account_id text NOT NULL,
    level text NOT NULL,
    entity_id text NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    document jsonb NOT NULL,
    document_hash text NOT NULL
);
CREATE TABLE raw.insights_changes (
    change_id bigint NOT NULL,
    account_id text NOT NULL,
    event_date date NOT NULL,
    asset text NOT NULL,
    entity_id text NOT NULL,
    event_hour smallint,
    measure text NOT NULL,
    old_value text,
    new_value text,
    previous_pulled_at timestamp with time zone,
    detected_at timestamp with time zone NOT NULL
);
ALTER TABLE raw.insights_changes ALTER COLUMN change_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME raw.insights_changes_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE raw.insights_daily (
    event_date date NOT NULL,
    account_id text NOT NULL,
    campaign_id text NOT NULL,
    adset_id text NOT NULL,
    ad_id text NOT NULL,
    timezone text NOT NULL,
    currency text NOT NULL,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    reach bigint,
    frequency numeric,
    actions jsonb,
    action_values jsonb,
    attribution_setting text,
    api_version text NOT NULL,
    pulled_at timestamp with time zone NOT NULL,
    conversions jsonb,
    conversion_values jsonb
)
PARTITION BY RANGE (event_date);
CREATE TABLE raw.insights_hourly (
    event_date date NOT NULL,
    account_id text NOT NULL,
    campaign_id text NOT NULL,
    adset_id text NOT NULL,
    ad_id text NOT NULL,
    event_hour smallint NOT NULL,
    event_at timestamp with time zone NOT NULL,
    hour_flag text,
    timezone text NOT NULL,
    currency text NOT NULL,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    actions jsonb,
    api_version text NOT NULL,
    pulled_at timestamp with time zone NOT NULL,
    CONSTRAINT insights_hourly_event_hour_check CHECK (((event_hour >= 0) AND (event_hour <= 23))),
    CONSTRAINT insights_hourly_hour_flag_check CHECK ((hour_flag = ANY (ARRAY['repeated'::text, 'skipped'::text])))
)
PARTITION BY RANGE (event_date);
CREATE TABLE raw.insights_reach (
    event_date date NOT NULL,
    account_id text NOT NULL,
    level text NOT NULL,
    entity_id text NOT NULL,
    period text NOT NULL,
    period_start date NOT NULL,
    period_end date NOT NULL,
    timezone text NOT NULL,
    currency text NOT NULL,
    spend numeric,
    impressions bigint,
    clicks bigint,
    reach bigint,
    frequency numeric,
    unique_clicks bigint,
    unique_link_clicks bigint,
    omitted text,
    api_version text NOT NULL,
    pulled_at timestamp with time zone NOT NULL,
    CONSTRAINT insights_reach_check CHECK (((period_end = event_date) AND (period_start <= period_end))),
    CONSTRAINT insights_reach_level_check CHECK ((level = ANY (ARRAY['account'::text, 'campaign'::text, 'adset'::text]))),
    CONSTRAINT insights_reach_period_check CHECK ((period = ANY (ARRAY['day'::text, '7d'::text, '28d'::text, 'month'::text])))
);
ALTER TABLE ONLY control.account_timezones
    ADD CONSTRAINT account_timezones_pkey PRIMARY KEY (account_id, valid_from);
ALTER TABLE ONLY control.ad_accounts
    ADD CONSTRAINT ad_accounts_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY control.alert_mutes
    ADD CONSTRAINT alert_mutes_pkey PRIMARY KEY (kind, subject);
ALTER TABLE ONLY control.alert_notices
    ADD CONSTRAINT alert_notices_pkey PRIMARY KEY (alert_id, destination, notice, escalated_at);
ALTER TABLE ONLY control.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (alert_id);
ALTER TABLE ONLY control.api_keys
    ADD CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash);
ALTER TABLE ONLY control.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY control.api_keys
    ADD CONSTRAINT api_keys_prefix_key UNIQUE (prefix);
ALTER TABLE ONLY control.call_budgets
    ADD CONSTRAINT call_budgets_pkey PRIMARY KEY (app, account_id, use_case);
ALTER TABLE ONLY control.call_counts
    ADD CONSTRAINT call_counts_pkey PRIMARY KEY (connection, minute, account_id, use_case);
ALTER TABLE ONLY control.call_slots
    ADD CONSTRAINT call_slots_pkey PRIMARY KEY (app, account_id, holder);
ALTER TABLE ONLY control.check_results
    ADD CONSTRAINT check_results_account_id_event_date_asset_check_name_key UNIQUE NULLS NOT DISTINCT (account_id, event_date, asset, check_name);
ALTER TABLE ONLY control.connections
    ADD CONSTRAINT connections_pkey PRIMARY KEY (connection_id);
ALTER TABLE ONLY control.connections
    ADD CONSTRAINT connections_workspace_id_name_key UNIQUE (workspace_id, name);
ALTER TABLE ONLY control.dead_letters
    ADD CONSTRAINT dead_letters_fingerprint_key UNIQUE (fingerprint);
ALTER TABLE ONLY control.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (dead_letter_id);
ALTER TABLE ONLY control.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (member_id);
ALTER TABLE ONLY control.members
    ADD CONSTRAINT members_workspace_id_name_key UNIQUE (workspace_id, name);
ALTER TABLE ONLY control.report_runs
    ADD CONSTRAINT report_runs_pkey PRIMARY KEY (job_key);
ALTER TABLE ONLY control.schema_version
    ADD CONSTRAINT schema_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY control.slice_loads
    ADD CONSTRAINT slice_loads_pkey PRIMARY KEY (load_id);
ALTER TABLE ONLY control.slice_locks
    ADD CONSTRAINT slice_locks_pkey PRIMARY KEY (holder);
ALTER TABLE ONLY control.slices
    ADD CONSTRAINT slices_pkey PRIMARY KEY (account_id, partition_date, asset);
ALTER TABLE ONLY control.syncs
    ADD CONSTRAINT syncs_pkey PRIMARY KEY (sync_id);
ALTER TABLE ONLY control.unreadable_accounts
    ADD CONSTRAINT unreadable_accounts_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY control.webhook_events
    ADD CONSTRAINT webhook_events_fingerprint_key UNIQUE (fingerprint);
ALTER TABLE ONLY control.webhook_events
    ADD CONSTRAINT webhook_events_pkey PRIMARY KEY (webhook_event_id);
ALTER TABLE ONLY control.webhook_requests
    ADD CONSTRAINT webhook_requests_pkey PRIMARY KEY (minute, outcome);
ALTER TABLE ONLY control.workspaces
    ADD CONSTRAINT workspaces_name_key UNIQUE (name);
ALTER TABLE ONLY control.workspaces
    ADD CONSTRAINT workspaces_pkey PRIMARY KEY (workspace_id);
ALTER TABLE ONLY marts.metric_facts
    ADD CONSTRAINT metric_facts_pkey PRIMARY KEY (natural_key, event_date);
ALTER TABLE ONLY raw.account_totals
    ADD CONSTRAINT account_totals_pkey PRIMARY KEY (event_date, account_id);
ALTER TABLE ONLY raw.ad_accounts
    ADD CONSTRAINT ad_accounts_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY raw.ads
    ADD CONSTRAINT ads_pkey PRIMARY KEY (id);
ALTER TABLE ONLY raw.adsets
    ADD CONSTRAINT adsets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY raw.campaigns
    ADD CONSTRAINT campaigns_pkey PRIMARY KEY (id);
ALTER TABLE ONLY raw.creatives
    ADD CONSTRAINT creatives_pkey PRIMARY KEY (id);
ALTER TABLE ONLY raw.custom_conversions
    ADD CONSTRAINT custom_conversions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY raw.entity_versions
    ADD CONSTRAINT entity_versions_pkey PRIMARY KEY (level, entity_id, valid_from);
ALTER TABLE ONLY raw.insights_changes
    ADD CONSTRAINT insights_changes_pkey PRIMARY KEY (change_id);
ALTER TABLE ONLY raw.insights_daily
    ADD CONSTRAINT insights_daily_pkey PRIMARY KEY (event_date, ad_id);
ALTER TABLE ONLY raw.insights_hourly
    ADD CONSTRAINT insights_hourly_pkey PRIMARY KEY (event_date, ad_id, event_hour);
ALTER TABLE ONLY raw.insights_reach
    ADD CONSTRAINT insights_reach_pkey PRIMARY KEY (event_date, level, entity_id, period);
CREATE UNIQUE INDEX alerts_one_open ON control.alerts USING btree (kind, subject) WHERE (resolved_at IS NULL);
CREATE INDEX call_counts_minute ON control.call_counts USING btree (minute);
CREATE INDEX check_results_open ON control.check_results USING btree (account_id, event_date) WHERE (status <> 'passed'::text);
CREATE INDEX dead_letters_open ON control.dead_letters USING btree (account_id, asset) WHERE (status = 'open'::text);
CREATE INDEX slice_loads_slice ON control.slice_loads USING btree (account_id, partition_date, asset);
CREATE INDEX slice_locks_account_id_asset_idx ON control.slice_locks USING btree (account_id, asset);
CREATE INDEX slices_open ON control.slices USING btree (status) WHERE (status <> 'done'::text);
CREATE UNIQUE INDEX syncs_one_unfinished ON control.syncs USING btree (scope) WHERE (status <> 'done'::text);
CREATE INDEX webhook_events_pending ON control.webhook_events USING btree (next_attempt_at) WHERE (status = 'pending'::text);
CREATE INDEX webhook_events_received ON control.webhook_events USING btree (first_received_at);
CREATE INDEX metric_facts_account_id_event_date_idx ON ONLY marts.metric_facts USING btree (account_id, event_date);
CREATE INDEX metric_facts_event_at_idx ON ONLY marts.metric_facts USING btree (event_at);
CREATE INDEX metric_facts_event_date_account_id_idx ON ONLY marts.metric_facts USING btree (event_date, account_id) WHERE (event_hour IS NULL);
CREATE INDEX ads_account_id_idx ON raw.ads USING btree (account_id);
CREATE INDEX adsets_account_id_idx ON raw.adsets USING btree (account_id);
CREATE INDEX campaigns_account_id_idx ON raw.campaigns USING btree (account_id);
CREATE INDEX creatives_account_id_idx ON raw.creatives USING btree (account_id);
CREATE INDEX custom_conversions_account_id_idx ON raw.custom_conversions USING btree (account_id);
CREATE INDEX entity_versions_account ON raw.entity_versions USING btree (account_id);
CREATE INDEX insights_changes_account_id_event_date_idx ON raw.insights_changes USING btree (account_id, event_date);
CREATE INDEX insights_daily_account_id_event_date_idx ON ONLY raw.insights_daily USING btree (account_id, event_date);
CREATE INDEX insights_hourly_account_id_event_date_idx ON ONLY raw.insights_hourly USING btree (account_id, event_date);
CREATE INDEX insights_reach_account_id_event_date_idx ON raw.insights_reach USING btree (account_id, event_date);
ALTER TABLE ONLY control.account_timezones
    ADD CONSTRAINT account_timezones_account_id_fkey FOREIGN KEY (account_id) REFERENCES control.ad_accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY control.ad_accounts
    ADD CONSTRAINT ad_accounts_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES control.connections(connection_id);
ALTER TABLE ONLY control.ad_accounts
    ADD CONSTRAINT ad_accounts_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES control.workspaces(workspace_id);
ALTER TABLE ONLY control.alert_notices
    ADD CONSTRAINT alert_notices_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES control.alerts(alert_id) ON DELETE CASCADE;
ALTER TABLE ONLY control.api_keys
    ADD CONSTRAINT api_keys_member_id_fkey FOREIGN KEY (member_id) REFERENCES control.members(member_id) ON DELETE CASCADE;
ALTER TABLE ONLY control.api_keys
    ADD CONSTRAINT api_keys_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES control.workspaces(workspace_id) ON DELETE CASCADE;
ALTER TABLE ONLY control.connections
    ADD CONSTRAINT connections_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES control.workspaces(workspace_id);
ALTER TABLE ONLY control.members
    ADD CONSTRAINT members_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES control.workspaces(workspace_id) ON DELETE CASCADE;
INSERT INTO control.schema_version VALUES ('0021');
INSERT INTO control.workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'default', NULL, '2026-11-29 02:16:16.362662+00');
