"""All that talks to a language model, or starts one."""
