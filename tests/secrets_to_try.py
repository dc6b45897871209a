"""What a secret cannot be, and what only looks like it: the host and the container must say the same."""

PLACEHOLDERS = [
    *("REPLACE_ME", "replace-this", "sk-replaceme", "changeme", "change_this", "CHANGE-ME-please", "<token>", "xxxx"),
    *(
        "sk-xxxxxxxx",
        "sk-…",
        "0123456789...",
        "your-key",
        "sk-your-key-here",
        "YOUR_API_KEY",
        "your_telegram_bot_token",
    ),
    *("placeholder", "Example", "todo", "secret", "password", "null", " REPLACE_ME ", " <token> "),
    *("dummy", "NONE", "***", "change-me-change-me", "YOUR_API_KEY_HERE"),
]
REAL = [
    *("sk-1", "5ec2e75ec2e75ec2e75ec2e75ec2e75e", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "xapp-1-A0-1-abc"),
    *("hunter2", "my secret garden", "exxxon", "yourself", "tokenring", "<3", '{"a": "<b>"}', "keep.your.hat"),
    # They only begin or end as one does, or stand where a server needs no key.
    *(
        "exampleKey7",
        "dummy-lm-api-key",
        "todo-list-7",
        "replace-this-5ec2e75e",
        "your-key-5ec2e75e",
        "<b>5ec2",
        "xxx5ec2e",
    ),
    *("changeme5ec2e75e", "EMPTY", "not-needed", "no-key-required", "none-of-your-business"),
]
