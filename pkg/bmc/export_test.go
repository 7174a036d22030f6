package bmc

// QuirkNames names the rows of the quirk table, by the first vendor of each.
func QuirkNames() []string {
	var names []string
	for _, q := range quirks {
		names = append(names, q.vendors[0])
	}
	return names
}
