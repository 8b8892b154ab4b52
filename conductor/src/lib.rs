//! A container system over the Linux kernel: images of overlay layers built from Conductorfiles, containers
//! in namespaces of their own, veth networking with NAT, port forwarding and peering.
