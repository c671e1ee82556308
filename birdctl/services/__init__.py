"""Services: from Service and EndpointSlice objects to IPVS virtual servers, their addresses and rules."""
