package discovery

// Clean holds targets that were kept somewhere else against what a source promises about a set. It returns
// them in order and without doubles, or returns what is wrong with them.
func Clean(list []Endpoint) ([]Endpoint, error) {
	a := &answer{}
	for _, e := range list {
		address, err := fileAddress(e.Address)
		if err != nil {
			return nil, err
		}
		e.Address, e.Weight = address, min(max(e.Weight, 0), maxWeight)
		if !isZone(e.Zone) {
			e.Zone = ""
		}
		a.list = append(a.list, e)
	}
	return a.set()
}
