SELECT set_role_login(:role, :verifier)
