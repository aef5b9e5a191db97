"""The paper's tables and figures: specs (YAML) with the published values beside them (CSV). Imports the spec; no SQL, no HTTP."""
