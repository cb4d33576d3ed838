package conform

// targeting are the rows of RFC 9213.
var targeting = []Check{}
