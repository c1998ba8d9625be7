"""The serial link's host side: frames over any stream of bytes (docs/serial-link.md).

`cobs` and `frames` are the format, `client` the rules of asking, `port` a serial port as a stream,
`ports` which of them is a device;
`piped` runs the device's side as a process of this machine, `campaign` disturbs the line between
the two, `throughput` measures it. `picotrain.device.targets.serial` makes a target of all that.
"""
