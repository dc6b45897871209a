"""The real Hermes Agent, with the files that a deploy gives it: what it does is read, not what the files say."""
