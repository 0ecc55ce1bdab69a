update {{ table }}
set is_deleted = true, missing_since = coalesce(missing_since, %(at)s), changed_at = %(at)s
where id = any(%(gone)s) and not is_deleted
