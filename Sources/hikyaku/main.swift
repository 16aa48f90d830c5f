print("hikyaku")
