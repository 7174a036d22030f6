package lab

// fru gives the FRU inventory of a blade's BMC: a product area with maker, model and serial number, as by "IPMI Platform
// Management FRU Information Storage Definition" v1.0.
func fru(b Blade) []byte {
	area := []byte{1, 0, 25} // format version, length in units of 8, language code of English
	for _, field := range []string{Manufacturer, Model, "", "", b.Serial, "", ""} {
		area = append(area, 0xc0|byte(len(field))) // 8-bit ASCII, up to 63 characters
		area = append(area, field...)
	}
	area = append(area, 0xc1) // no more fields
	for len(area)%8 != 7 {
		area = append(area, 0)
	}
	area[1] = byte((len(area) + 1) / 8)
	area = append(area, checksum(area))
	header := []byte{1, 0, 0, 0, 1, 0, 0} // format version; offsets in units of 8: only the product area, at 8
	header = append(header, checksum(header))
	return append(header, area...)
}

// checksum makes the sum of all octets, itself included, zero.
func checksum(data []byte) byte {
	var sum byte
	for _, octet := range data {
		sum += octet
	}
	return -sum
}
