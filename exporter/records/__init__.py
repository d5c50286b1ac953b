"""What is read of each API kind, and nothing more.

A record is a msgspec Struct that names the fields the facts rest on; msgspec skips everything else
without building it. Any field may be absent or null in an API object, so all but the name are optional.
A value of a wrong type makes the object unusable: its reflector counts it, logs it and leaves it out.
"""
