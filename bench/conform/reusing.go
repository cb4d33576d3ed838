package conform

// reusing are the rows of RFC 9111 section 4, 4.1, 4.2.x.
var reusing = []Check{}
