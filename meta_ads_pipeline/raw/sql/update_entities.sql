with changed as (
    update {{ table }} as t
    set
        ({{ columns }}, document) = ({{ i_columns }}, i.document),
        document_hash = i.document_hash,
        is_deleted = i.is_deleted,
        missing_since = case when not i.is_listed then coalesce(t.missing_since, %(at)s) end,
        changed_at = case when t.document_hash = i.document_hash then t.changed_at else %(at)s end,
        pulled_at = %(at)s
    -- Two copies of the row, so that what it was can be told from what it is.
    from incoming_entities as i
    inner join {{ table }} as old using (id)
    where
        t.id = i.id
        and (
            t.document is distinct from i.document
            or t.document_hash <> i.document_hash
            or t.is_deleted <> i.is_deleted
            or (t.missing_since is null) <> i.is_listed
        )
    returning
        t.document_hash <> old.document_hash
        or t.is_deleted <> old.is_deleted
        or (t.missing_since is null) <> (old.missing_since is null) as counts
)

select count(*) filter (where counts) from changed
