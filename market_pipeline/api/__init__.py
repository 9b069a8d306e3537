"""The REST API: what is stored, for programs; and what is to be done, for whoever may say so."""
