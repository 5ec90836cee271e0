"""Who may see the pages: sign-in, sessions, roles, and the gate through which every page goes. docs/sign-in.md tells how to run it."""
