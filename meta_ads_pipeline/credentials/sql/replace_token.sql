update control.connections set
    token_ciphertext = %(ciphertext)s,
    token_fingerprint = %(new)s, {{ set_facts }},
    status = %(status)s, status_reason = null,
    last_validated_at = %(now)s, refreshed_at = %(now)s, refresh_attempted_at = %(now)s,
    updated_at = now()
where connection_id = %(id)s and token_fingerprint = %(old)s
