"""Users, API tokens, roles and access lists, as PVE::API2 keeps them; fakepve 0.5.0 only shapes these answers.

Where PVE replaces what a path inherits by what is given on a deeper one, fakepve adds the two.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from fakepve import PveError, shapes
from fakepve.routing import die, param_error, split_list

Values = dict[str, Any]

# pve-access-control, PVE::AccessControl::check_path.
_NAME = r"[A-Za-z0-9._-]+"
_PATH = re.compile(
    rf"/|/access(/(groups|realm)(/{_NAME})?)?|/(nodes|storage)(/{_NAME})?|/pool(/{_NAME}){{0,3}}"
    rf"|/sdn(/zones(/{_NAME}(/{_NAME}(/[1-9][0-9]{{0,3}})?)?)?)?|/vms(/[1-9][0-9]{{2,}})?|/mapping(/{_NAME}){{0,2}}"
)


class AccessApi:
    """Mixin of the fake API; what it gives lands in fakepve's own list."""

    acl: dict[str, list[tuple[str, set[str]]]]
    apitokens: dict[str, str]

    def __init__(self, **options: Any) -> None:
        """Begin with root and nobody else."""
        super().__init__(**options)
        self.accounts = {"root@pam"}
        # The same sets are in the access list, which changes with a role.
        self.roles: dict[str, set[str]] = {"PVEAuditor": {"Datastore.Audit", "Sys.Audit", "VM.Audit", "SDN.Audit"}}
        # Tokens that have no more than what is given to them and to their user.
        self.separated: set[str] = set()

    def _routes_accounts(self) -> list[tuple[str, str, Any]]:
        user, role = "/access/users", "/access/roles"
        token = f"{user}/{{userid}}/token"
        return [
            ("GET", user, self._users),
            ("POST", user, self._add_user),
            ("GET", token, self._tokens),
            ("POST", f"{token}/{{tokenid}}", self._add_token),
            ("DELETE", f"{token}/{{tokenid}}", self._remove_token),
            ("POST", role, self._add_role),
            ("PUT", f"{role}/{{roleid}}", self._modify_role),
            ("PUT", "/access/acl", self._modify_acl),
        ]

    def allowed(self, user: str, path: str, priv: str) -> bool:
        """Whether a user, or a token and its user, holds a privilege on a path."""
        allowed: bool = super().allowed(user, path, priv)  # type: ignore[misc]
        if user not in self.separated:
            return allowed
        own = any(priv in held and _covers(granted, path) for granted, held in self.acl.get(user, []))
        return own and super().allowed(user.split("!", maxsplit=1)[0], path, priv)  # type: ignore[misc]

    async def _users(self, _: Values, __: str) -> list[Values]:
        return [{"userid": name, "enable": 1, "expire": 0, "realm-type": "pve"} for name in sorted(self.accounts)]

    async def _add_user(self, v: Values, _: str) -> None:
        if v["userid"] in self.accounts:
            raise die(f"create user failed: user '{v['userid']}' already exists")
        self.accounts.add(v["userid"])

    def _known(self, user: str) -> None:
        if user not in self.accounts:
            raise die(f"no such user ('{user}')")

    async def _tokens(self, v: Values, _: str) -> list[Values]:
        self._known(v["userid"])
        ours = (name.split("!") for name in sorted(self.apitokens))
        return [{"tokenid": token, "privsep": 1, "expire": 0} for user, token in ours if user == v["userid"]]

    async def _add_token(self, v: Values, _: str) -> Values:
        self._known(v["userid"])
        name = f"{v['userid']}!{v['tokenid']}"
        if name in self.apitokens:
            raise param_error(tokenid="Token already exists.")
        self.apitokens[name] = str(uuid.uuid4())
        separated = str(v.get("privsep", 1)) == "1"
        if separated:
            self.separated.add(name)
        return {"full-tokenid": name, "info": {"privsep": str(int(separated))}, "value": self.apitokens[name]}

    async def _remove_token(self, v: Values, _: str) -> None:
        name = f"{v['userid']}!{v['tokenid']}"
        self._known_token(name)
        del self.apitokens[name]
        self.separated.discard(name)
        # What is given to nobody is left out when the file is read.
        self.acl.pop(name, None)

    def _known_token(self, name: str) -> None:
        user, _, token = name.partition("!")
        self._known(user)
        if name not in self.apitokens:
            raise die(f"no such token '{token}' for user '{user}'")

    async def _add_role(self, v: Values, _: str) -> None:
        name = v["roleid"]
        if name.upper().startswith("PVE"):
            raise param_error(roleid="cannot use role ID starting with the (case-insensitive) 'PVE' namespace")
        if name in self.roles:
            raise die(f"create role failed: role '{name}' already exists")
        self.roles[name] = _privileges(v, "create role failed")

    async def _modify_role(self, v: Values, _: str) -> None:
        name = v["roleid"]
        if name not in self.roles:
            raise die(f"update role failed: role '{name}' does not exist")
        privileges = _privileges(v, "update role failed")
        if not v.get("append"):
            self.roles[name].clear()
        self.roles[name].update(privileges)

    async def _modify_acl(self, v: Values, _: str) -> None:
        path = v["path"].rstrip("/") or "/"
        if not _PATH.fullmatch(path):
            raise param_error(path=f"invalid ACL path '{v['path']}'")
        users, tokens = split_list(v.get("users")), split_list(v.get("tokens"))
        if not users and not tokens:
            why = "either 'users', 'groups' or 'tokens' is required."
            raise param_error(users=why, groups=why, tokens=why)
        for role in split_list(v["roles"]):
            if role not in self.roles:
                raise die(f"role '{role}' does not exist")
            for user in users:
                if user not in self.accounts:
                    raise die(f"user '{user}' does not exist")
            for token in tokens:
                self._known_token(token)
            for who in (*users, *tokens):
                entry = (path, self.roles[role])
                given = self.acl.setdefault(who, [])
                if not any(it[0] == path and it[1] is entry[1] for it in given):
                    given.append(entry)


def _covers(granted: str, path: str) -> bool:
    return granted in ("/", path) or path.startswith(f"{granted}/")


def _privileges(v: Values, what: str) -> set[str]:
    found = set(split_list(v.get("privs")))
    if unknown := found - set(shapes.PRIVILEGES):
        raise PveError(500, f"{what}: invalid privilege '{min(unknown)}'")
    return found
