"""Meta credentials: connections, their encrypted tokens, renewal, and the clients made of them."""
