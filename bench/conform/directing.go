package conform

// directing are the rows of RFC 9111 section 5.
var directing = []Check{}
