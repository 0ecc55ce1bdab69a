"""Send alerts to where people read them: chat, e-mail, a pager, any webhook."""
