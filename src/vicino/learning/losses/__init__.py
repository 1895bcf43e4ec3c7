"""What learning pulls together and pushes apart: plain functions from tensors to one number that can be differentiated.

None knows where the tensors come from. (b, d) are b vectors of d dimensions; all losses are means, so that a batch of any size
pulls as hard, but for those that say otherwise. All are in torch; nothing here is imported until a deep family learns.
"""
