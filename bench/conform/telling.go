package conform

// telling are the rows of RFC 9211.
var telling = []Check{}
