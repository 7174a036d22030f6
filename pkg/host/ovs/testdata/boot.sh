#!/bin/sh
set -eu
ovs-vsctl '--timeout=30' \
  -- --may-exist add-br br-ex \
  -- set Bridge br-ex 'other_config:hwaddr=52:54:00:77:00:01' \
  -- set Interface br-ex 'mtu_request=9000' \
  -- --may-exist add-bond br-ex bond0 eth1 eth0 \
  -- set Port bond0 'bond_mode=balance-tcp' \
  -- set Port bond0 'lacp=active' \
  -- set Interface eth1 'mtu_request=9000' \
  -- set Interface eth0 'mtu_request=9000' \
  -- --may-exist add-port br-ex storage \
  -- set Port storage 'tag=101' \
  -- set Interface storage 'type=internal' \
  -- set Interface storage 'mtu_request=9000' \
  -- --may-exist add-port br-ex trunk \
  -- set Port trunk 'trunks=3,20' \
  -- set Interface trunk 'type=internal' \
  -- set Interface trunk 'mtu_request=1500' \
  -- --may-exist add-br br-int
