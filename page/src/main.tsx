// The page begins here.
import { render } from "preact";
import { App } from "./shell/App";
import { showTheme, theme } from "./shell/settings";
import "./style.css";

showTheme(theme());
const page = document.getElementById("page");
if (page) render(<App />, page);
