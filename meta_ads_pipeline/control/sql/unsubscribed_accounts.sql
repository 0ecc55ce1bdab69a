select a.account_id
from control.webhook_subscriptions as s
cross join control.ad_accounts as a
left join control.webhook_accounts as w using (app_id, account_id)
where
    s.app_id = %(app_id)s
    and s.every_account
    and a.is_active
    and not exists (
        select from control.unreadable_accounts as u
        where u.account_id = a.account_id
    )
    and (w.account_id is null or (w.reason is not null and w.attempted_at <= %(retry_before)s))
order by a.account_id
