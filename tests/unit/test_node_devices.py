"""Which devices a container may have, and which would give it the node."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from pve_agents.types import DevicePath

DEVICE: TypeAdapter[str] = TypeAdapter(DevicePath)
OF_THE_NODE = {
    "the memory of the host": "mem kmem port cpu/0/msr snapshot userfaultfd nvram mcelog",
    "the log of the host's kernel": "kmsg",
    "a disk of the host": (
        "sda sda1 sdaa12 hdb vda1 xvda nvme0 nvme0n1 nvme0n1p2 nvme-fabrics ng0n1 mmcblk0p1 mmcblk0boot0 md0 md127p1 md/0 "
        "dm-0 mapper/control mapper/pve-root disk/by-id/ata-x disk/by-label/data block/8:0 loop0 loop-control sr0 cdrom zd0 "
        "zd16p1 zvol/rpool/data/vm-100-disk-0 zfs btrfs-control rbd0 rbd/pool/image nbd0 nbd0p1 bcache0 drbd0 pve/root fd0 "
        "ram0 mtd0 mtdblock0 raw/raw1 sg0 sg12 bsg/0:0:0:0 st0 nst0 megaraid_sas_ioctl_node mpt3ctl"
    ),
    "a console of the host": "console tty tty0 tty12 vcs1 vcsa ptmx pts/0 hvc0",
    "the hardware below the host": "ipmi0 mei0 tpm0 tpmrm0 watchdog watchdog0",
}
FOR_A_CONTAINER = (
    "dri/renderD128 dri/card0 kfd nvidia0 nvidiactl nvidia-uvm nvidia-caps/nvidia-cap1 ttyUSB0 ttyACM0 ttyS0 ttyAMA0 "
    "serial/by-id/usb-x net/tun fuse snd/controlC0 video0 media0 v4l/by-id/x input/event3 uinput bus/usb/001/002 hidraw0 "
    "usb/hiddev0 i2c-1 spidev0.0 gpiochip0 kvm vhost-net vfio/12 dvb/adapter0/frontend0 lirc0 apex_0 accel/accel0 cec0 "
    "zigbee mem2 random null"
)


@pytest.mark.parametrize(
    ("part", "name"), [(part, name) for part, names in OF_THE_NODE.items() for name in names.split()]
)
def test_a_device_that_is_part_of_the_node_is_refused(part: str, name: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        DEVICE.validate_python(f"/dev/{name}")
    (error,) = refusal.value.errors()
    remedy = "write another device, such as /dev/dri/renderD128"
    assert str(error.get("ctx", {}).get("error")) == f'"/dev/{name}" is {part}, which no container may have; {remedy}'
    assert DEVICE.validate_python(remedy.rpartition(" ")[2])


@pytest.mark.parametrize("name", FOR_A_CONTAINER.split())
def test_a_device_of_a_containers_own_use_is_taken(name: str) -> None:
    assert DEVICE.validate_python(f"/dev/{name}") == f"/dev/{name}"
