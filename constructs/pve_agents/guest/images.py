"""Images: pulled or built before anything is stopped, and removed when nobody goes back to them."""

from __future__ import annotations

from pve_agents.guest.apt import wait_for_network
from pve_agents.guest.machine import TIMED_OUT
from pve_agents.guest.plan import Image
from pve_agents.guest.progress import fail
from pve_agents.guest.work import ComposeWork

__all__ = ["keep_two_images", "want_images"]

_PULL_MINUTES = 25
_PULL_SECONDS = _PULL_MINUTES * 60
_NO_WAY = ("lookup", "dial tcp", "timeout", "connection refused", "network is unreachable", "no route", "eof")
_ROWS = ("--all", "--no-trunc", "--format", "{{.ID}}|{{.Repository}}:{{.Tag}}")


def want_images(work: ComposeWork) -> None:
    """Have every image here that a container is to run."""
    compose = work.compose
    if compose.image:
        _want(work, compose.image.base, is_moving=compose.image.is_moving)
        if compose.image.run != compose.image.base:
            _build(work, compose.image)
    for reference in dict.fromkeys(it.image for it in compose.sidecars):
        if compose.image is None or reference != compose.image.run:
            _want(work, reference, is_moving=reference in compose.moving)


def _want(work: ComposeWork, reference: str, *, is_moving: bool) -> None:
    before = work.docker.image_id(reference)
    if not before:
        _pull(work, reference)
    elif is_moving:
        _pull_newer(work, reference, before)


class _Layers:
    """How far a pull is, and what else it says."""

    def __init__(self, work: ComposeWork, reference: str) -> None:
        self._work, self._reference = work, reference
        self._here = self._all = 0
        self.said = ""

    def __call__(self, line: str) -> None:
        if line.endswith(": Pulling fs layer"):
            self._all += 1
        elif line.endswith(": Already exists"):
            self._all, self._here = self._all + 1, self._here + 1
        elif line.endswith(": Pull complete"):
            self._here += 1
        elif line:
            self.said = line
        self._work.progress.waiting(f"{self._reference}: {self._here} of {self._all} layers here")


def _pulled(work: ComposeWork, reference: str) -> tuple[int, str]:
    wait_for_network(work)
    layers = _Layers(work, reference)
    status = work.machine.follow("docker", "pull", reference, seconds=_PULL_SECONDS, on_line=layers)
    return status, layers.said


def _pull(work: ComposeWork, reference: str) -> None:
    status, said = _pulled(work, reference)
    if status != 0:
        _pull_failed(work, reference, status, said)
    work.progress.did(reference)


def _pull_newer(work: ComposeWork, reference: str, before: str) -> None:
    """Look whether a moving tag has moved; without the registry the agent goes on with what it has."""
    status, said = _pulled(work, reference)
    if status != 0:
        why = work.last_line(said) or "no answer"
        work.progress.say(f"no look for a newer {reference} ({why}); going on with the one that is here")
    elif work.docker.image_id(reference) != before:
        work.progress.did(reference)


def _pull_failed(work: ComposeWork, reference: str, status: int, said: str) -> None:
    settings, line, lower = work.compose.settings, work.last_line(said), said.lower()
    if "no space left" in lower:
        free = work.machine.free_mebibytes("/var/lib") // 1024
        image = work.compose.image
        needs = f"about {image.gigabytes} GB" if image and reference == image.base else "more room"
        fail(
            f"the disk of the container is full: the image {reference} needs {needs}, and {free}"
            f" GB are free. Raise {work.agent_setting}.disk.size_gib, or make room",
            line,
        )
    if any(it in lower for it in ("manifest unknown", "not found", "manifest for")):
        fail(f"there is no image {reference}: look for its tags, and set {settings.image_tag} (and digest)", line)
    if "denied" in lower or "unauthorized" in lower:
        fail(
            f"the registry refuses the image {reference}: does {settings.image_repository} exist, and is it public?",
            line,
        )
    if "toomanyrequests" in lower or "rate limit" in lower:
        fail(f"the registry allows no more pulls for now: try later, or set {settings.registry_mirrors}", line)
    if any(it in lower for it in _NO_WAY):
        fail("the registry is not reached: look at the container's network and name server, and deploy again", line)
    if status == TIMED_OUT:
        fail(
            f"the image {reference} did not arrive within {_PULL_MINUTES} minutes: deploy again; finished layers are kept",
            line,
        )
    fail(f"cannot pull the image {reference}: try `docker pull {reference}` in the container", line)


def _build(work: ComposeWork, image: Image) -> None:
    """Build our own anew when its base is another one, which a moving tag can become under the same name."""
    base = work.docker.image_id(image.base)
    if work.docker.base_of(image.run) == base:
        return
    wait_for_network(work)
    work.progress.say(f"building {image.run}")
    options = ("--network", "host") if work.compose.network == "host" else ()
    label = ("--label", f"pve-agents.base={base}", "--tag", image.run)
    place = f"{work.project}/image"
    ran = work.machine.run("docker", "build", *options, *label, place, seconds=_PULL_SECONDS, joined=True)
    if not ran.ok:
        fail(
            f"the image {image.run} cannot be built: are all of {work.compose.settings.image_packages} packages of"
            f" {image.packages_of}?",
            *work.last_lines(ran.out),
        )
    work.progress.did(image.run)


# removing ---------------------------------------------------------------------------------------------------------------


def keep_two_images(work: ComposeWork) -> None:
    """Keep the current image and the one before it, to go back to; older ones of the same name would fill the disk."""
    image, file = work.compose.image, f"{work.project}/images"
    # To go back to an image of one's own, its base must be there too.
    wanted = [image.run, image.base] if image else [it.image for it in work.compose.sidecars]
    current = " ".join(f"{it} {work.docker.image_id(it)}" for it in dict.fromkeys(wanted))
    kept = work.machine.text(file).splitlines()
    if kept[:1] != [current]:
        kept = [current, *kept[:1]]
        work.remember(file, "\n".join(kept))
    keep = {word for line in kept for word in line.split()} | _used(work)
    # Images of one's own first: they hold their bases. Built anew, the older one loses its name.
    if image:
        _remove(work, keep, "--filter", "label=pve-agents.base")
    for repository in dict.fromkeys([image.repository] if image else map(_repository, wanted)):
        _remove(work, keep, repository)


def _repository(reference: str) -> str:
    before, slash, last = reference.partition("@")[0].rpartition("/")
    # A colon further in front is that of a registry's port.
    return f"{before}{slash}{last.partition(':')[0]}"


def _remove(work: ComposeWork, keep: set[str], *which: str) -> None:
    for row in work.docker.ask("image", "ls", *_ROWS, *which).out.splitlines():
        identity, _, reference = row.partition("|")
        if identity in keep or reference in keep:
            continue
        # A tag may be one of several; without one, only the id is left.
        name = identity if "<none>" in reference else reference
        if not work.docker.ask("image", "rm", name).ok:
            work.progress.say(f"the old image {name} could not be removed")


def _used(work: ComposeWork) -> set[str]:
    ids = work.docker.ask("container", "ls", "--all", "--quiet", "--no-trunc").out.split()
    if not ids:
        return set()
    return set(work.docker.ask("container", "inspect", "--format", "{{.Image}}", *ids).out.split())
